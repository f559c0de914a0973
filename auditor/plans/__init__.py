"""What AWS Backup's plans mean: when their rules run, which buckets their selections take, and which of two does less."""
