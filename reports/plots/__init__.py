"""How figures are drawn: data in, matplotlib figures out."""
