"""Every knob an operator may turn."""
