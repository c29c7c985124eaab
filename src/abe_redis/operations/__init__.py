"""What a person or an agent does by hand: the only place for rules that commands, tools and buttons share."""
