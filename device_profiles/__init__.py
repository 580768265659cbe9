"""What each board is: data in `boards/`, a strict reader, and a look at the machine itself."""
