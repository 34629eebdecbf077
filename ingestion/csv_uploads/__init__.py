"""CSV uploads: marketing spend and campaign performance from files that people drop in an inbox."""
