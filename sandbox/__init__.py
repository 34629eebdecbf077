"""The sandbox: local stand-ins for everything the pipeline talks to, and the demo shop that fills
them.
"""
