"""What the machine allows: bytes read and int8 products a second."""
