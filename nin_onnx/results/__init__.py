"""What came out beside the paper's figures: reads the ledger and the runs, and starts nothing."""
