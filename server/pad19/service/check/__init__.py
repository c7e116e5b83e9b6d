"""What ``pad19 check`` looks at besides the configuration: content, files, the machine."""
