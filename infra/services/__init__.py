"""The real services behind the local cloud: Postgres, RabbitMQ and S3, each one a child process.

A service is started and stopped by the supervisor, keeps everything it must remember in its own
sub-folder of the local cloud's data folder, and writes one log file. `start()` returns when the
service answers; `url` is known from then on.
"""
