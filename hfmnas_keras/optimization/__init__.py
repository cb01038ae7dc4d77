"""What search and training share: Adam, schedules, losses, decay, loss scale, saved state, devices."""
