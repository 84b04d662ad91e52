"""AWS's own service models as data: operations, shapes, constraints and errors, with no list of them by hand."""
