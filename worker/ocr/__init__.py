"""Reading text from images and PDF files: upload checks, page images, engines, results."""
