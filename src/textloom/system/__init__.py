"""The operating system: files, memory, processors, devices, the terminal."""
