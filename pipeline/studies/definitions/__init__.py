"""The comparisons: which variants each study trains. What trains them is one folder up."""
