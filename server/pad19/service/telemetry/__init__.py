"""What happens, counted: shared by all workers, and shown by ``pad19 status`` and Prometheus."""
