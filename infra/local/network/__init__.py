"""Sockets: `addresses` has those of services that run already, `listening` opens our own, `access`
says who may speak to them, and `connection` what is answered to a client that speaks no HTTP."""
