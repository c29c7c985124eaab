"""The bundled server: the only place that starts and stops one."""
