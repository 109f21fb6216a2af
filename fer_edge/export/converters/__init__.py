"""From Keras to the files that devices run, and the files as graphs."""
