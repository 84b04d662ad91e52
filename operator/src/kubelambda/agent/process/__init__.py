"""The runtime process: started ahead, watched, measured."""
