"""What was spent: the meter, its windows, the ledger.

An answer is charged from its run record before its meter window closes (`ledger`); one thread reads
the meter (`watch`) and the ledger reconciles charges with metered windows. The simulated board's
truth (`plant`) runs in its own process and nothing here that predicts may import it.
"""
