//! The transfer core of Weir: batches, transactions, channels and supervision.
