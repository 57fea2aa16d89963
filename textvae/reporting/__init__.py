"""Results for people and for other tools: page, plots, console, TensorBoard, MLflow."""
