"""Deploys the real template with the SAM CLI, to an emulated AWS on this machine.

`make run` runs the functions of template.yaml; this deploys the stack: `sam build`, `sam deploy`,
CloudFormation with its custom resource, layers, nested stacks and outputs, to MiniStack, beside a
Postgres and a RabbitMQ of its own.
"""
