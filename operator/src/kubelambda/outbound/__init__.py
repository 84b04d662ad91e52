"""Services that are not ours: which addresses may be reached, who we are there, and records that are sent to them."""
