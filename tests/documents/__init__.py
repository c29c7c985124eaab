"""The site: it builds, it links to what is there, and what it tells people to do works."""
