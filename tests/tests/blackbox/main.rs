//! Black-box tests: clusters of real `kvorum` processes, spoken to as a user would.
