"""The page that taps photos in a browser, served from this machine."""
