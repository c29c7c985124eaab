"""The words of others made safe to show: the only place that masks secrets and shows what is invisible."""
