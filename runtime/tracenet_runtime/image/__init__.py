"""Pictures: photos read and checked, canvases, masks; nothing about networks."""
