"""How fast is Ninebell on this machine? One command measures it on real parts that are thrown away afterwards."""
