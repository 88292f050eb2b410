"""Reading files: finding them, decompressing, decoding, and parsing the rows of tables."""
