import sys

try:
    from lightning_grok.commands.main import main
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    sys.exit(130)

if __name__ == "__main__":  # which the processes of a sweep import
    main()
