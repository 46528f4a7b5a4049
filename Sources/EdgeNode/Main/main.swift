import EdgeServe
import Program

await EdgeProgram.main()
