"""The sandbox: local stand-ins for all the pipeline talks to, and the demo shop that fills them."""
