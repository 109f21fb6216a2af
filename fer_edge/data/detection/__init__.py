"""Photographed heads, and the frames that a detector learns from and is judged on."""
