"""What brings int8 nearer to float, and the ladder that climbs from one remedy to the next."""
