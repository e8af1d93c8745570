"""`python -m nsp_cli`, which `torchrun -m` needs."""

from nsp_cli.cli import main

if __name__ == "__main__":
    main()
