"""What need not be redone: answers by content, interpreters under a byte budget."""
