"""What textloom needs of the operating system: files, memory, processors, devices, the terminal."""
