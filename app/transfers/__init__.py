"""Which transactions are two ends of one transfer between wallets. Pure: no database, no network, no clock."""
