"""From the names of files to their bytes, to text, and to the rows of tables."""
