"""Model cards: what is known of a network and its training, measured on data and put on one HTML page."""
