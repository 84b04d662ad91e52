"""Who a request speaks of and what it may use: ids, quota, reservations, owners."""
