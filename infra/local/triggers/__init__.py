"""What invokes functions besides HTTP: queues, schedules, custom resources."""
