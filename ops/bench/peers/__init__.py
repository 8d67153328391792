"""The same burst on what a team would pick instead; each module runs in an environment of its own, not in Ninebell's."""
