"""Methods that SPADE is compared with, fitted and scored on the same features; `interface` says how."""
