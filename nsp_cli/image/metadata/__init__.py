"""EXIF, ICC profiles and the structures that hold them."""
