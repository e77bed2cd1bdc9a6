"""What a chaos run can break, one class each: by what a seed chooses, and healed again."""
