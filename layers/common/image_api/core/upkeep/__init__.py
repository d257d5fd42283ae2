"""What operators and schedules run: cleaning, measuring, bringing old data up to date, health."""
