"""Who may read what, and who may upload where: zones, and the lists and tokens that they ask."""
