"""One file for each outside thing the mission system talks to."""
