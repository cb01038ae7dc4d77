"""Linear models beside every searched one: what a user would have without any network."""
