"""What other code made, scored like an attack's own: trials out, images or codes back in."""
